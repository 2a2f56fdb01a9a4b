// agnhost is that part of Kubernetes' own image for tests which network_probe needs: a server, and a client that says
// how a call ended.
package main

import (
	"os"

	"github.com/spf13/cobra"
	"k8s.io/kubernetes/test/images/agnhost/connect"
	"k8s.io/kubernetes/test/images/agnhost/netexec"
)

func main() {
	root := &cobra.Command{Use: "agnhost"}
	root.AddCommand(connect.CmdConnect, netexec.CmdNetexec)
	if root.Execute() != nil {
		os.Exit(1)
	}
}
