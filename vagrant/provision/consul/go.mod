// The pinned Consul, built from its Go module where the PATH has no supported one.
module bookstore/vagrant/provision/consul

go 1.26.0

require (
	github.com/hashicorp/consul v1.22.7
	github.com/hashicorp/consul/api v1.34.1
)

tool github.com/hashicorp/consul

exclude (
	github.com/hashicorp/go-msgpack v1.1.5
	github.com/hashicorp/go-msgpack v1.1.6
)
