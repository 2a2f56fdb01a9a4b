# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    """Connection options, named as in amazon.aws; what every AWS module promises; what those for roles share."""

    DOCUMENTATION = r"""
options:
  access_key:
    description:
      - Access key ID.
      - Without any of these options boto3 looks where it always does, such as in E(AWS_PROFILE), C(~/.aws) and the
        metadata of the instance or container that the module runs on.
      - Also read from E(AWS_ACCESS_KEY_ID) and E(AWS_ACCESS_KEY).
    type: str
    aliases: [aws_access_key_id, aws_access_key]
  secret_key:
    description:
      - Secret access key.
      - Also read from E(AWS_SECRET_ACCESS_KEY) and E(AWS_SECRET_KEY).
    type: str
    aliases: [aws_secret_access_key, aws_secret_key]
  session_token:
    description:
      - Session token of temporary credentials.
      - Also read from E(AWS_SESSION_TOKEN).
    type: str
    aliases: [aws_session_token]
  profile:
    description:
      - Name of a profile of boto3's configuration. It cannot be given together with keys.
      - Also read from E(AWS_PROFILE) and E(AWS_DEFAULT_PROFILE).
    type: str
    aliases: [aws_profile]
  region:
    description:
      - Region. IAM needs none.
      - Also read from E(AWS_REGION) and E(AWS_DEFAULT_REGION).
    type: str
    aliases: [aws_region]
  endpoint_url:
    description:
      - URL to talk to instead of AWS's own.
      - Also read from E(AWS_URL).
    type: str
    aliases: [aws_endpoint_url]
  aws_ca_bundle:
    description:
      - Path of the certificate authorities to trust.
      - Also read from E(AWS_CA_BUNDLE).
    type: path
  validate_certs:
    description: Whether certificates are verified.
    type: bool
    default: true
  aws_config:
    description:
      - Settings of botocore, as C(botocore.config.Config) takes them. They win over those of this collection, which are
        adaptive retries, ten at most.
    type: dict
  debug_botocore_endpoint_logs:
    description:
      - Whether RV(ignore:resource_actions) tells which requests were sent.
      - Also read from E(ANSIBLE_DEBUG_BOTOCORE_LOGS).
    type: bool
    default: false
  stage:
    description:
      - How far to go. V(enforce) does all that is declared and refuses what findings refuse; below it, what would take
        something away is left out, and findings tell.
    type: str
    choices: [observe, warn, enforce]
    default: enforce
  accept:
    description:
      - Risks that are taken on, by name. A finding that is covered here is reported but not refused.
    type: list
    elements: dict
    default: []
    suboptions:
      rule:
        description: The finding's rule, such as V(iam/admin).
        type: str
        required: true
      kind:
        description: Only for resources of this kind, such as V(AWS::IAM::Role).
        type: str
      namespace:
        description: Empty for AWS.
        type: str
      name:
        description: Only for the resource of this name.
        type: str
      reason:
        description: Why the risk is taken.
        type: str
        required: true
      expires:
        description: Last day of the acceptance, as YYYY-MM-DD. Afterwards it is an error.
        type: str
        required: true
  workers:
    description: How many requests are under way at a time.
    type: int
    default: 8
attributes:
  check_mode:
    description:
      - Can run in C(check_mode) and return changed status prediction without modifying the target.
    support: full
    details:
      - Whether AWS would refuse a request is not known before it is sent.
  diff_mode:
    description:
      - Returns details on what has changed (or possibly needs changing in C(check_mode)), when in diff mode.
    support: full
  idempotent:
    description:
      - When run twice in a row outside check mode, with the same arguments, the second invocation indicates no
        change.
    support: full
  platform:
    description: Target OS/families that can be operated against.
    platforms: posix
    support: full
  action_group:
    description:
      - Use C(group/hardened.k8s.aws) in C(module_defaults) to set defaults for this module and those of amazon.aws.
    support: full
    membership:
      - hardened.k8s.aws
requirements:
  - python >= 3.10
  - boto3 >= 1.28.0
"""

    ROLES = r"""
options:
  state:
    description:
      - V(present) makes the roles as declared.
      - V(absent) undoes what this owner did. Roles that it made are deleted; those that were there before stay, without
        its tags and its policy; what others made is left alone.
    type: str
    choices: [present, absent]
    default: present
  owner:
    description:
      - Name under which roles are owned, written as the tag C(hardened.k8s/owner); the one that made a role is also in
        C(hardened.k8s/created).
      - The default is the name of the module.
    type: str
  force_conflicts:
    description: Whether to take over roles of another owner. Without it they are an error that names the owner.
    type: bool
    default: false
"""
