// kube is all of Kubernetes that the test bed runs, in one binary: the first argument, or the name that it is
// called by, says which component. Two more commands make certificates, so that nothing else is needed for it.
package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
	"k8s.io/component-base/cli"
	_ "k8s.io/component-base/logs/json/register"
	_ "k8s.io/component-base/metrics/prometheus/clientgo"
	_ "k8s.io/component-base/metrics/prometheus/version"
	kubectl "k8s.io/kubectl/pkg/cmd"
	kubectlutil "k8s.io/kubectl/pkg/cmd/util"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	kcm "k8s.io/kubernetes/cmd/kube-controller-manager/app"
)

func main() {
	name := filepath.Base(os.Args[0])
	if len(os.Args) > 1 && name == "kube" {
		name = os.Args[1]
		os.Args = os.Args[1:]
	}
	switch {
	case name == "kube-apiserver":
		run(apiserver.NewAPIServerCommand())
	case name == "kube-controller-manager":
		run(kcm.NewControllerManagerCommand())
	case name == "kubectl":
		kubectlutil.CheckErr(cli.RunNoErrOutput(kubectl.NewDefaultKubectlCommand()))
	case name == "certificates" && len(os.Args) == 1:
		fail(certificates())
	case name == "client-certificate" && len(os.Args) > 2: // name of the files, user, groups
		fail(clientCertificate(os.Args[1], os.Args[2], os.Args[3:]))
	default:
		fail(fmt.Errorf("unknown component %s", name))
	}
}

func run(command *cobra.Command) { os.Exit(cli.Run(command)) }

func fail(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
