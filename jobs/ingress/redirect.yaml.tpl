# What port 8081 answers, for everybody: the challenge of an ACME directory while there is one, else the way to https.
resources:
  - "@type": type.googleapis.com/envoy.config.route.v3.RouteConfiguration
    name: redirect
    virtual_hosts:
      - name: redirect
        domains: ["*"]
        routes:
{{- with nomadVar "nomad/jobs/ingress" }}{{ if .challenge_token }}
          - match: {path: "/.well-known/acme-challenge/{{ .challenge_token.Value }}"}
            direct_response: {status: 200, body: {inline_string: "{{ .challenge_answer.Value }}"}}
{{- end }}{{ end }}
          - match: {prefix: "/"}
            redirect: {https_redirect: true, response_code: PERMANENT_REDIRECT}
