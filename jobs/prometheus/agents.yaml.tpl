# The way to the metrics of this machine's agents of Nomad and Consul, and to nothing else of them: two paths, GET alone.
static_resources:
  listeners:
    - name: metrics
      address: {socket_address: {address: {{ env "NOMAD_IP_metrics" }}, port_value: {{ env "NOMAD_PORT_metrics" }}}}
      per_connection_buffer_limit_bytes: 32768
      filter_chains:
        - filters:
            - name: envoy.filters.network.http_connection_manager
              typed_config:
                "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
                stat_prefix: metrics
                request_headers_timeout: 5s
                request_timeout: 5s
                common_http_protocol_options: {idle_timeout: 60s}
                http_filters:
                  - name: envoy.filters.http.router
                    typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}
                route_config:
                  virtual_hosts:
                    - name: agents
                      domains: ["*"]
                      routes:
                        - match: {path: /v1/metrics, headers: [{name: ":method", string_match: {exact: GET}}]}
                          route: {cluster: nomad, timeout: 10s}
                          request_headers_to_remove: [authorization, x-nomad-token]
                        - match: {path: /v1/agent/metrics, headers: [{name: ":method", string_match: {exact: GET}}]}
                          route: {cluster: consul, timeout: 10s}
                          request_headers_to_remove: [authorization] # whoever asks acts with this task's token alone
                          request_headers_to_add:
                            - header: {key: x-consul-token, value: {{ env "CONSUL_HTTP_TOKEN" }}}
                              append_action: OVERWRITE_IF_EXISTS_OR_ADD
  clusters:
    - name: nomad
      type: STATIC
      connect_timeout: 1s
      circuit_breakers:
        thresholds: [{max_connections: 8, max_pending_requests: 8, max_requests: 8}]
      load_assignment:
        cluster_name: nomad
        endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: 4646}}}}]}]
      transport_socket:
        name: envoy.transport_sockets.tls
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext
          common_tls_context:
            validation_context:
              trusted_ca: {filename: /secrets/agents/ca.pem}
              match_typed_subject_alt_names: [{san_type: IP_ADDRESS, matcher: {exact: 127.0.0.1}}]
    - name: consul
      type: STATIC
      connect_timeout: 1s
      circuit_breakers:
        thresholds: [{max_connections: 8, max_pending_requests: 8, max_requests: 8}]
      load_assignment:
        cluster_name: consul
        endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: 8501}}}}]}]
      transport_socket:
        name: envoy.transport_sockets.tls
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext
          common_tls_context:
            validation_context:
              trusted_ca: {filename: /secrets/agents/ca.pem}
              match_typed_subject_alt_names: [{san_type: IP_ADDRESS, matcher: {exact: 127.0.0.1}}]
