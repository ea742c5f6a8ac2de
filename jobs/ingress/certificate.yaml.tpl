# The door's certificate with those that signed it, and its private half. 'go tool task up' stores them; so may whoever renews them.
{{- with nomadVar "nomad/jobs/ingress" }}
resources:
  - "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret
    name: certificate
    tls_certificate:
      certificate_chain:
        inline_string: |
{{ .certificate.Value | indent 10 }}
      private_key:
        inline_string: |
{{ .certificate_key.Value | indent 10 }}
{{- end }}
