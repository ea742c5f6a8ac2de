# It declares databases and roles as the superuser, who logs in at the socket in a member's container alone.
namespace "default" {
  capabilities = ["read-job", "alloc-exec"]
}
