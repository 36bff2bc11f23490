"""What a workflow may use: activities, retry policies, and the machinery that makes each step durable."""
