# A member that is silent is killed. Nomad's policies know no single job: this reaches every task.
namespace "default" {
  capabilities = ["alloc-lifecycle"]
}
