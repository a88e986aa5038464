//! What `appliance status` shows.
