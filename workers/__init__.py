"""What trains: RQ workers, the reconciler, and the supervisor that keeps processes alive."""
