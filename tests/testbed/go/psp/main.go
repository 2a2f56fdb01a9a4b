// psp is PodSecurityPolicy's own admission code, of the last Kubernetes that had it, as an oracle. For each line of
// its input, some policies, a pod and who may use which of them, it writes one line: whether the pod is admitted, by
// which policy, and how it looks then.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"

	corev1 "k8s.io/api/core/v1"
	policyv1beta1 "k8s.io/api/policy/v1beta1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/tools/cache"
	"k8s.io/kubernetes/pkg/api/legacyscheme"
	api "k8s.io/kubernetes/pkg/apis/core"
	_ "k8s.io/kubernetes/pkg/apis/core/install"
	"k8s.io/kubernetes/pkg/apis/policy"
	_ "k8s.io/kubernetes/pkg/apis/policy/install"
	"k8s.io/kubernetes/pkg/apis/policy/validation"
	"k8s.io/kubernetes/plugin/pkg/admission/security/podsecuritypolicy"
)

type question struct {
	Policies []*policyv1beta1.PodSecurityPolicy `json:"policies"`
	Pod      *corev1.Pod                        `json:"pod"`
	// names of policies that the requester may use, and the pod's service account
	User           []string `json:"user"`
	ServiceAccount []string `json:"serviceAccount"`
}

type answer struct {
	// why a policy could not even have been stored
	Invalid  string      `json:"invalid,omitempty"`
	Admitted bool        `json:"admitted"`
	Reason   string      `json:"reason,omitempty"`
	Policy   string      `json:"policy,omitempty"`
	Pod      *corev1.Pod `json:"pod,omitempty"`
}

// oracle is the admission plugin with a store of policies and an authorizer of our own.
type oracle struct {
	plugin interface {
		admission.MutationInterface
		admission.ValidationInterface
	}
	policies cache.Indexer
	asked    question
}

func main() {
	o := newOracle()
	output := bufio.NewWriter(os.Stdout)
	defer output.Flush()
	lines, answers := json.NewDecoder(bufio.NewReader(os.Stdin)), json.NewEncoder(output)
	for lines.More() {
		o.asked = question{}
		fail(lines.Decode(&o.asked))
		fail(answers.Encode(o.answer()))
	}
}

func newOracle() *oracle {
	o := &oracle{}
	plugins := admission.NewPlugins()
	podsecuritypolicy.Register(plugins)
	made, err := plugins.InitPlugin(podsecuritypolicy.PluginName, nil, o)
	fail(err)
	o.plugin = made.(interface {
		admission.MutationInterface
		admission.ValidationInterface
	})
	return o
}

// Initialize gives the plugin what an API server would.
func (o *oracle) Initialize(plugin admission.Interface) {
	factory := informers.NewSharedInformerFactory(fake.NewSimpleClientset(), 0)
	wanting := plugin.(interface {
		SetAuthorizer(authorizer.Authorizer)
		SetExternalKubeInformerFactory(informers.SharedInformerFactory)
	})
	wanting.SetAuthorizer(o)
	wanting.SetExternalKubeInformerFactory(factory)
	o.policies = factory.Policy().V1beta1().PodSecurityPolicies().Informer().GetIndexer()
}

const requester = "requester"

// Authorize says who may use which policy.
func (o *oracle) Authorize(_ context.Context, a authorizer.Attributes) (authorizer.Decision, string, error) {
	names := o.asked.ServiceAccount
	if a.GetUser().GetName() == requester {
		names = o.asked.User
	}
	for _, name := range names {
		if a.GetVerb() == "use" && a.GetAPIGroup() == policy.GroupName && a.GetName() == name {
			return authorizer.DecisionAllow, "", nil
		}
	}
	return authorizer.DecisionNoOpinion, "", nil
}

func (o *oracle) answer() answer {
	var stored []interface{}
	for _, p := range o.asked.Policies {
		legacyscheme.Scheme.Default(p)
		var internal policy.PodSecurityPolicy
		fail(legacyscheme.Scheme.Convert(p, &internal, nil))
		if errs := validation.ValidatePodSecurityPolicy(&internal); len(errs) > 0 {
			return answer{Invalid: errs.ToAggregate().Error()}
		}
		stored = append(stored, p)
	}
	fail(o.policies.Replace(stored, ""))

	legacyscheme.Scheme.Default(o.asked.Pod)
	pod := &api.Pod{}
	fail(legacyscheme.Scheme.Convert(o.asked.Pod, pod, nil))
	attributes := admission.NewAttributesRecord(pod, nil, api.Kind("Pod").WithVersion("version"), pod.Namespace,
		pod.Name, api.Resource("pods").WithVersion("version"), "", admission.Create, &metav1.CreateOptions{}, false,
		&user.DefaultInfo{Name: requester})
	objects := admission.NewObjectInterfacesFromScheme(runtime.NewScheme())
	if err := o.plugin.Admit(context.TODO(), attributes, objects); err != nil {
		return answer{Reason: err.Error()}
	}
	if err := o.plugin.Validate(context.TODO(), attributes, objects); err != nil {
		return answer{Reason: err.Error()}
	}
	admitted := &corev1.Pod{}
	fail(legacyscheme.Scheme.Convert(pod, admitted, nil))
	return answer{Admitted: true, Policy: pod.Annotations["kubernetes.io/psp"], Pod: admitted}
}

func fail(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
