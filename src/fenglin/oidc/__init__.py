"""Believes an OpenID provider no further than its signed word reaches (extra `oidc`)."""

from fenglin.oidc.issuer import OidcIssuer

__all__ = ["OidcIssuer"]
