output "roles" {
  description = "Consul's roles, each with the policy of one task."
  value       = sort(keys(consul_acl_role.task))
}

output "policies" {
  description = "Nomad's policies, each of one task."
  value       = sort(keys(nomad_acl_policy.task))
}
