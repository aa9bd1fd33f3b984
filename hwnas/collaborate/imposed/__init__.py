"""A link that is imposed on this machine's own processes: real TCP through a queue with a link's rates and delays."""
