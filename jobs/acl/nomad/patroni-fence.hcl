# A member that is silent is killed, and one that stops asks which others stay. Nomad's policies know no single job: this
# reaches every task, and what jobs are (what is secret in them are variables).
namespace "default" {
  capabilities = ["alloc-lifecycle", "read-job"]
}
