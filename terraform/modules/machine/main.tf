# machine knows which machines there are: names, roles, addresses, and what each does when it first boots. It has no provider;
# modules such as hetzner and libvirt make the machines. The addresses are those of the lab (vagrant/Vagrantfile): fixed,
# so that nothing has to be discovered.

locals {
  servers = [for n in range(1, var.servers + 1) : {
    name = "${var.name}-server${n}"
    role = var.clients == 0 ? "both" : "server"
    host = 10 + n
  }]
  clients = [for n in range(1, var.clients + 1) : {
    name = "${var.name}-client${n}"
    role = "client"
    host = 100 + n
  }]
  server_addresses = [for server in local.servers : cidrhost(var.network, server.host)]
  first            = local.servers[0].name

  # The store of the second backup repository is on the first by name of the machines that carry the shop.
  store = cidrhost(var.network, concat(local.clients, local.servers)[0].host)

  machines = { for machine in concat(local.servers, local.clients) : machine.name => {
    role    = machine.role
    address = cidrhost(var.network, machine.host)
    user_data = join("", ["#cloud-config\n", yamlencode({
      hostname            = machine.name
      preserve_hostname   = false
      disable_root        = false
      ssh_pwauth          = false
      ssh_authorized_keys = var.ssh_keys
      package_update      = true
      packages            = ["ca-certificates", "curl", "git"]
      write_files = [
        { path = "/etc/bookstore/provision.env", permissions = "0644", content = templatefile("${path.module}/provision.env.tftpl", {
          address = cidrhost(var.network, machine.host)
          role    = machine.role
          servers = local.server_addresses
          store   = local.store
          egress  = var.egress
        }) },
        { path = "/usr/local/sbin/bookstore-provision", permissions = "0755", content = templatefile("${path.module}/provision.sh.tftpl", {
          go         = var.go
          repository = var.repository
          revision   = var.revision
        }) },
        { path = "/etc/systemd/system/bookstore-provision.service", permissions = "0644", content = file("${path.module}/provision.service") },
      ]
      runcmd = [["systemctl", "daemon-reload"], ["systemctl", "start", "--no-block", "bookstore-provision.service"]]
    })])
  } }
}
