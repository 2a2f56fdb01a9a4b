# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""boto3: sessions, clients that retry, and errors in words that name the remedy."""

from __future__ import annotations

import re
import threading
import typing as t

from ansible.module_utils.basic import missing_required_lib
from ansible_collections.hardened.k8s.plugins.module_utils.errors import HardenedError

MINIMUM = "1.28.0"

_TRIES = 3

Client = t.Any  # boto3 makes the classes of its clients at run time


class AwsError(Exception):
    """AWS refused one request.

    :param code: AWS's own word for it, such as ``AccessDenied``; empty when the request did not get there.
    """

    def __init__(self, code: str, message: str, remedy: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.remedy = remedy


class Aws:
    """The clients of one call.

    :param options: the connection options.
    :param workers: how many requests may be under way at a time.
    """

    def __init__(self, options: t.Mapping[str, t.Any], workers: int = 8) -> None:
        self.options = options
        self.workers = workers
        self._lock = threading.Lock()
        #: every request that was sent, as ``iam:GetRole``
        self.sent: t.List[str] = []
        try:
            import boto3
            import botocore.config
            import botocore.exceptions
            import botocore.parsers
        except ImportError as error:
            raise HardenedError(missing_required_lib(f"boto3 >= {MINIMUM}"), "It is in requirements.txt") from error
        self._errors = botocore.exceptions
        #: what boto3 raises; the last is an answer that is not AWS's, as of a proxy in between
        self._raised = (
            botocore.exceptions.ClientError,
            botocore.exceptions.BotoCoreError,
            botocore.parsers.ResponseParserError,
        )
        if options.get("profile") and any(options.get(name) for name in ("access_key", "secret_key", "session_token")):
            raise HardenedError(
                "both a profile and keys are given", "Name one of them; an empty string in the task undoes a variable"
            )
        if bool(options.get("access_key")) != bool(options.get("secret_key")):
            raise HardenedError(
                "one of access_key and secret_key is missing", "Give access_key and secret_key together"
            )
        self._config = {
            "retries": {"mode": "adaptive", "max_attempts": 10},
            "user_agent_extra": "hardened.k8s",
            "max_pool_connections": max(10, workers),
            **(options.get("aws_config") or {}),
        }
        try:
            self._botocore_config = botocore.config.Config(**self._config)
            self._session = boto3.session.Session(
                aws_access_key_id=options.get("access_key") or None,
                aws_secret_access_key=options.get("secret_key") or None,
                aws_session_token=options.get("session_token") or None,
                profile_name=options.get("profile") or None,
                region_name=options.get("region") or None,
            )
        except (TypeError, ValueError) as error:
            raise HardenedError(f"aws_config is wrong: {error}", "See botocore.config.Config") from error
        except self._errors.BotoCoreError as error:
            raise _whole(error) from error

    def client(self, service: str) -> Client:
        """A client of a service; it may be used by several threads.

        :raises HardenedError: no region, no such profile.
        """
        options = self.options
        verify: t.Any = bool(options.get("validate_certs", True))
        if verify and options.get("aws_ca_bundle"):
            verify = options["aws_ca_bundle"]
        # IAM is one for all regions, and botocore wants one all the same
        region = self._session.region_name or ("us-east-1" if service == "iam" else None)
        try:
            client = self._session.client(
                service,
                region_name=region,
                endpoint_url=options.get("endpoint_url") or None,
                verify=verify,
                config=self._botocore_config,
            )
        except (self._errors.BotoCoreError, ValueError) as error:
            raise _whole(error) from error
        client.meta.events.register("before-call.*", self._count)
        return client

    def _count(self, model: t.Any, **_context: t.Any) -> None:
        with self._lock:
            self.sent.append(f"{model.service_model.service_name}:{model.name}")

    def call(self, client: Client, method: str, **params: t.Any) -> t.Dict[str, t.Any]:
        """One request.

        :raises AwsError: AWS refused it.
        :raises HardenedError: nothing can be asked at all.
        """
        for attempt in range(1, _TRIES + 1):
            try:
                answer: t.Dict[str, t.Any] = getattr(client, method)(**params)
                return answer
            except self._raised as error:
                # botocore gives up at once where somebody in between answers in HTML
                if type(error).__name__ != "ResponseParserError" or attempt == _TRIES:
                    raise self._explained(error) from error
        raise AssertionError("the last attempt returns or raises")

    def pages(self, client: Client, method: str, key: str, **params: t.Any) -> t.Iterator[t.Any]:
        """What a request lists, over all of its pages."""
        try:
            for page in client.get_paginator(method).paginate(**params):
                yield from page.get(key) or ()
        except self._raised as error:
            raise self._explained(error) from error

    def _explained(self, error: t.Any) -> Exception:
        if isinstance(error, self._errors.ClientError):
            details = error.response.get("Error", {})
            return explain(str(details.get("Code", "")), str(details.get("Message", "")), error.operation_name)
        if isinstance(error, self._errors.ParamValidationError):
            return AwsError("", " ".join(str(error).split()), "Correct the declaration where the message points")
        return _whole(error)


_CREDENTIALS = {
    "ExpiredToken": "Get a new session token",
    "ExpiredTokenException": "Get a new session token",
    "RequestExpired": "Get a new session token, or set this machine's clock",
    "InvalidClientTokenId": "Check access_key and session_token, or AWS_ACCESS_KEY_ID and AWS_SESSION_TOKEN",
    "UnrecognizedClientException": "Check access_key and session_token, or AWS_ACCESS_KEY_ID and AWS_SESSION_TOKEN",
    "AuthFailure": "Check access_key and secret_key, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
    "SignatureDoesNotMatch": "Check secret_key, or AWS_SECRET_ACCESS_KEY",
}
_DENIED = ("AccessDenied", "AccessDeniedException", "UnauthorizedOperation")
_REMEDIES = {
    "MalformedPolicyDocument": "Correct the document; a principal that it names must exist",
    "LimitExceeded": "Remove what is no longer needed, or ask AWS for a higher quota",
    "EntityAlreadyExists": "Another run made it meanwhile: run again",
    "DeleteConflict": "Remove what still hangs on it first, such as an instance profile, and run again",
    "NoSuchEntity": "Make what the message names first, or correct its name",
    "UnmodifiableEntity": "It is AWS's own: leave it out",
    "InvalidInstanceID.NotFound": "Correct the ID, or the region",
    "IncorrectInstanceState": "Wait until the instance runs or is stopped, and run again",
    "InvalidLaunchTemplateId.NotFound": "Correct the ID, or the region",
    "InvalidLaunchTemplateName.NotFoundException": "Correct the name, or the region",
    "Throttling": "Run again with fewer workers",
    "RequestLimitExceeded": "Run again with fewer workers",
}


def explain(code: str, message: str, operation: str) -> Exception:
    """An error of AWS as ours: of the whole call where no other request could do better, else of one item."""
    text = _without_secrets(message) or code
    if code in _CREDENTIALS:
        return HardenedError(f"AWS does not accept the credentials ({code}): {text}", _CREDENTIALS[code])
    if code in _DENIED:
        return AwsError(code, text, f"Allow the caller {operation}; docs/kube2iam.md has all that the modules need")
    remedy = _REMEDIES.get(code) or _REMEDIES.get(code.rpartition("Exception")[0])
    if not remedy:
        remedy = "Correct the declaration where the message points" if "alid" in code else "Run again"
    return AwsError(code, f"{text} ({code})", remedy)


def _without_secrets(message: str) -> str:
    """AWS puts an encoded account of what was refused into some messages; it is long, and nobody's business."""
    return " ".join(re.sub(r"Encoded authorization failure message: \S+", "", message).split())


def _whole(error: Exception) -> HardenedError:
    """An error before any request, or of the network."""
    text = " ".join(str(error).split())
    remedies = {
        "NoCredentialsError": "Give access_key and secret_key, profile, or any other of boto3's ways, such as AWS_PROFILE",
        "PartialCredentialsError": "Give access_key and secret_key together",
        "NoRegionError": "Give region, or set AWS_REGION",
        "ProfileNotFound": "Correct profile, or AWS_PROFILE",
        "EndpointConnectionError": "Check the network, region and endpoint_url",
        "SSLError": "Give the certificate authority in aws_ca_bundle",
    }
    name = type(error).__name__
    return HardenedError(f"cannot talk to AWS: {text}", remedies.get(name, "Check the connection options"))


def not_yet(error: AwsError, name: str) -> bool:
    """Whether the same request may well succeed a little later: IAM is eventually consistent.

    :param name: of the role that the request is about.
    """
    return (
        error.code == "ConcurrentModification"
        or (error.code == "NoSuchEntity" and name in error.message)
        or (error.code == "MalformedPolicyDocument" and "nvalid principal" in error.message)
    )
