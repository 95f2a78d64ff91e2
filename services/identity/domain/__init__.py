"""The rules of identity: pure, without IO, clock or chance."""
