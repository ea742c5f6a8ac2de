output "paths" {
  description = "Where each job's variable is: the names of the items are in jobs/secrets.hcl, their values nowhere but at Nomad."
  value = merge(
    { for job, variable in nomad_variable.first : job => variable.path },
    { for job, variable in nomad_variable.second : job => variable.path },
    { for job, variable in nomad_variable.third : job => variable.path },
  )
}
