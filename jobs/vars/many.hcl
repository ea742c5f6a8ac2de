# Five machines and more: a member of the database on each of the first five, instances of a service on hosts of their own, all
# reached on the hosts' addresses.
datacenter      = "dc1"
distinct_hosts  = true
expose_network  = "default"
ingress_network = "default"
ui_network      = "default"
ingress_count   = 5
plain_http      = false
