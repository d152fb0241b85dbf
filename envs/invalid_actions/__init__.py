"""sb3-contrib's test environments for masks: repeat what is shown, with most other actions forbidden."""
