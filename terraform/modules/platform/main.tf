# How Nomad schedules, as 'go tool shop up' sets it. A priority displaces others for system jobs alone, which is Nomad's default.
resource "nomad_scheduler_config" "this" {
  scheduler_algorithm = var.algorithm

  preemption_config = {
    batch_scheduler_enabled    = false
    service_scheduler_enabled  = false
    sysbatch_scheduler_enabled = false
    system_scheduler_enabled   = true
  }
}
