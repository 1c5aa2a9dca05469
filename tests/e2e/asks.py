"""What the end-to-end tests ask."""

ALICE = "Convert this list to JSON: name=Alice, age=30, role=dev"
ALICE_JSON = {"name": "Alice", "age": 30, "role": "dev"}
DJANGO = "Architect a microservices migration plan for our Django monolith with 200k LOC"
STORY = "Architect a long story about a lighthouse."
