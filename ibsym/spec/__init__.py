"""What the user said: schema, grammar, joints as graphs, loading, and what a family can do. No algebra."""
