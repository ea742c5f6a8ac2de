# Several machines: instances and members spread over distinct hosts, reached on the hosts' own addresses.
datacenter      = "dc1"
distinct_hosts  = true
expose_network  = "default"
ingress_network = "default"
ui_network      = "default"
ingress_count   = 2
plain_http      = false
