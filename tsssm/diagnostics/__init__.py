"""What fitted layers do to what passes through them."""

from tsssm.diagnostics.tokens import TokenDynamics, token_dynamics

__all__ = ["TokenDynamics", "token_dynamics"]
