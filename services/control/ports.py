"""Where `afflux dev` puts the platform unless settings say otherwise."""

KAFKA_PORT = 9092
HTTP_PORT = 8080
FIRST_HEALTH_PORT = 9101
