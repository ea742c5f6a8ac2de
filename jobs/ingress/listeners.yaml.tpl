# The doors of the shop: https on 8443, http on 8080 where PLAIN_HTTP is true, and on 8081, where REDIRECT is true, what ACME
# asks and the way to https. Nomad fills this in.
{{- $doors := "https" }}
{{- if eq (env "PLAIN_HTTP") "true" }}{{ $doors = "https http" }}{{ end }}
{{- if eq (env "REDIRECT") "true" }}{{ $doors = printf "%s redirect" $doors }}{{ end }}
resources:
{{- range $door := $doors | split " " }}
  - "@type": type.googleapis.com/envoy.config.listener.v3.Listener
    name: {{ $door }}
    address:
      socket_address: {address: 0.0.0.0, port_value: {{ if eq $door "https" }}8443{{ else if eq $door "http" }}8080{{ else }}8081{{ end }}}
    per_connection_buffer_limit_bytes: 32768
    filter_chains:
      - filters:
          - name: envoy.filters.network.http_connection_manager
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
              stat_prefix: {{ $door }}
              codec_type: {{ if eq $door "https" }}AUTO{{ else }}HTTP1{{ end }}
              rds:
{{- if eq $door "redirect" }}
                route_config_name: redirect
                config_source: {path_config_source: {path: /secrets/redirect.yaml}, resource_api_version: V3}
{{- else }}
                # The routes are those that Consul makes of the ingress' listener and of service-router-gateway.hcl.
                route_config_name: "8080"
                config_source: {ads: {}, resource_api_version: V3}
{{- end }}
              use_remote_address: true
              preserve_external_request_id: true
              # Paths stay as they were written: the gateway refuses all but the plain form (mesh.hcl).
              normalize_path: false
              merge_slashes: false
              path_with_escaped_slashes_action: KEEP_UNCHANGED
              server_header_transformation: PASS_THROUGH
              max_request_headers_kb: 32 # above 16 the gateway answers with a problem
              request_headers_timeout: 10s
              request_timeout: 30s
              stream_idle_timeout: 30s # a stream of events has that of its route
              common_http_protocol_options:
                idle_timeout: 60s
                max_headers_count: 100
                headers_with_underscores_action: DROP_HEADER # servers read them in different ways
              http2_protocol_options:
                max_concurrent_streams: 100
                initial_stream_window_size: 65536
                initial_connection_window_size: 1048576
              http_filters:
                - name: envoy.filters.http.header_mutation
                  typed_config:
                    "@type": type.googleapis.com/envoy.extensions.filters.http.header_mutation.v3.HeaderMutation
                    mutations:
                      request_mutations:
                        # Envoys obey them: time-outs, retries. Envoy's own rule leaves those of private addresses.
                        - remove_on_match: {key_matcher: {prefix: x-envoy-}}
                      response_mutations:
                        - remove: server
{{- if eq $door "https" }}
                        - append:
                            # On a developer's machine browsers forget it soon: it means every port of localhost.
                            header: {key: Strict-Transport-Security, value: "max-age={{ if eq (env "PLAIN_HTTP") "true" }}60{{ else }}31536000{{ end }}"}
                            append_action: OVERWRITE_IF_EXISTS_OR_ADD
{{- end }}
                - name: envoy.filters.http.router
                  typed_config:
                    "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router
                    suppress_envoy_headers: true
{{- if eq $door "https" }}
        transport_socket_connect_timeout: 10s
        transport_socket:
          name: envoy.transport_sockets.tls
          typed_config:
            "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext
            common_tls_context:
              alpn_protocols: [h2, http/1.1]
              tls_params: {tls_minimum_protocol_version: TLSv1_2, tls_maximum_protocol_version: TLSv1_3}
              tls_certificate_sds_secret_configs:
                - name: certificate
                  sds_config:
                    path_config_source: {path: /secrets/certificate.yaml}
                    resource_api_version: V3
{{- end }}
{{- end }}
