// psa is Kubernetes' own evaluator of the Pod Security Standards, as an oracle. For each line of its input, a pod in
// JSON, it writes one line: for both levels, what is said at the oldest version and wherever a newer one says otherwise.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"reflect"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"
)

const oldest, newest = 24, 37

// verdict is what a level says from this minor version on: reason and detail of each check that fails.
type verdict struct {
	Minor    int         `json:"minor"`
	Failures [][2]string `json:"failures"`
}

func main() {
	evaluator, err := policy.NewEvaluator(policy.DefaultChecks(), nil)
	fail(err)
	input := bufio.NewReader(os.Stdin)
	output := bufio.NewWriter(os.Stdout)
	defer output.Flush()
	lines, answers := json.NewDecoder(input), json.NewEncoder(output)
	answers.SetEscapeHTML(false)
	for lines.More() {
		var pod corev1.Pod
		fail(lines.Decode(&pod))
		fail(answers.Encode(map[string][]verdict{
			"baseline":   judge(evaluator, api.LevelBaseline, &pod),
			"restricted": judge(evaluator, api.LevelRestricted, &pod),
		}))
	}
}

func judge(evaluator policy.Evaluator, level api.Level, pod *corev1.Pod) []verdict {
	var verdicts []verdict
	for minor := oldest; minor <= newest; minor++ {
		version := api.LevelVersion{Level: level, Version: api.MajorMinorVersion(1, minor)}
		failures := [][2]string{}
		for _, result := range evaluator.EvaluatePod(version, &pod.ObjectMeta, &pod.Spec) {
			if !result.Allowed {
				failures = append(failures, [2]string{result.ForbiddenReason, result.ForbiddenDetail})
			}
		}
		if last := len(verdicts) - 1; last < 0 || !reflect.DeepEqual(verdicts[last].Failures, failures) {
			verdicts = append(verdicts, verdict{minor, failures})
		}
	}
	return verdicts
}

func fail(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
