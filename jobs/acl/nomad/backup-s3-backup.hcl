# pgbackrest runs in the container of the member that leads.
namespace "default" {
  capabilities = ["read-job", "alloc-exec"]
}
