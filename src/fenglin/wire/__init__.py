"""Types that travel over HTTP, shared by `api` and `client`. Additive within `/v1/`."""
