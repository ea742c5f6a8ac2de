# Three machines: two members of the database on two of them and one on the third, instances of a service on hosts of their own, all
# reached on the hosts' addresses.
datacenter      = "dc1"
distinct_hosts  = true
expose_network  = "default"
ingress_network = "default"
ui_network      = "default"
ingress_count   = 3
plain_http      = false
