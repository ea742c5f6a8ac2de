# libvirt makes module machine's machines on a host with libvirt: a network behind the host's address, one image, and a disk on
# it for each machine.

locals {
  # The same machine has the same hardware address in every apply; the network's settings find the interface by it.
  macs = { for name, machine in var.machines : name => format("52:54:00:1f:fa:%02x", tonumber(split(".", machine.address)[3])) }
}

resource "libvirt_network" "shop" {
  name      = var.name
  autostart = true
  forward   = { mode = "nat" }
  ips       = [{ address = cidrhost(var.network, 1), prefix = 24 }]
}

resource "libvirt_volume" "image" {
  name   = "${var.name}-image.qcow2"
  pool   = var.pool
  target = { format = { type = "qcow2" } }
  create = { content = { url = var.image } }
}

resource "libvirt_volume" "disk" {
  for_each = var.machines

  name          = "${each.key}.qcow2"
  pool          = var.pool
  capacity      = var.disk * 1024 * 1024 * 1024
  target        = { format = { type = "qcow2" } }
  backing_store = { path = libvirt_volume.image.path, format = { type = "qcow2" } }

  lifecycle {
    prevent_destroy = true # the shop's data is on it
  }
}

resource "libvirt_cloudinit_disk" "machine" {
  for_each = var.machines

  name      = "${each.key}-cloudinit"
  user_data = each.value.user_data
  meta_data = yamlencode({ "instance-id" = each.key, "local-hostname" = each.key })
  network_config = yamlencode({
    version = 2
    ethernets = { own = {
      match       = { macaddress = local.macs[each.key] }
      addresses   = ["${each.value.address}/24"]
      gateway4    = cidrhost(var.network, 1)
      nameservers = { addresses = [cidrhost(var.network, 1)] }
    } }
  })
}

resource "libvirt_volume" "cloudinit" {
  for_each = var.machines

  name   = "${each.key}-cloudinit.iso"
  pool   = var.pool
  create = { content = { url = libvirt_cloudinit_disk.machine[each.key].path } }
}

resource "libvirt_domain" "machine" {
  for_each = var.machines

  name        = each.key
  type        = var.type
  memory      = each.value.role == "server" ? var.memory / 2 : var.memory
  memory_unit = "MiB"
  vcpu        = var.cpus
  autostart   = true
  running     = true
  cpu         = { mode = var.type == "kvm" ? "host-passthrough" : "maximum" }
  os          = { type = "hvm", type_arch = "x86_64", type_machine = "q35" }

  devices = {
    disks = [
      {
        driver = { type = "qcow2" }
        source = { volume = { pool = var.pool, volume = libvirt_volume.disk[each.key].name } }
        target = { bus = "virtio", dev = "vda" }
      },
      {
        device = "cdrom"
        source = { volume = { pool = var.pool, volume = libvirt_volume.cloudinit[each.key].name } }
        target = { bus = "sata", dev = "sda" }
      },
    ]
    interfaces = [{
      type   = "network"
      mac    = { address = local.macs[each.key] }
      model  = { type = "virtio" }
      source = { network = { network = libvirt_network.shop.name } }
    }]
  }
}
