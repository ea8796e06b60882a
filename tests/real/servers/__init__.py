"""nginx, HAProxy, Envoy and Prometheus."""
