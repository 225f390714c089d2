"""What the pipeline decides: pure steps over keyed state."""
