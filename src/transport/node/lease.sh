
# --- the lease: what a rollout changed here stands only as long as its controller is heard

# verb_hold: a word from the controller.
verb_hold() {
    fence_check || finish_bad
    finish_ok
}
