# It renews the certificate of the ingress and has the ingresses answer challenges; its account is in its own variable.
namespace "default" {
  variables {
    path "nomad/jobs/ingress" {
      capabilities = ["read", "write"]
    }

    path "nomad/jobs/acme" {
      capabilities = ["read", "write"]
    }
  }
}
