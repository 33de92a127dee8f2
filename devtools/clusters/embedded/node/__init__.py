"""The real node of an embedded cluster: kubelet, containerd and kube-proxy in namespaces of their own."""
