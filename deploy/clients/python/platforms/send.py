"""The one place that opens connections, and only where `--send` was given."""
import json, os, urllib.error, urllib.parse, urllib.request


class Sender:
    """Sends requests of one platform. Settings: PLATFORM_TOKEN (the OAuth access token), for Google Ads also
    GOOGLE_ADS_DEVELOPER_TOKEN and, under a manager account, GOOGLE_ADS_LOGIN_CUSTOMER_ID; PLATFORM_HOST for a stand-in."""

    def __init__(self, platform):
        self.platform, self.host = platform, os.environ.get("PLATFORM_HOST", platform.HOST)
        self.headers = {"Authorization": f"Bearer {os.environ['PLATFORM_TOKEN']}"}
        if platform.NAME == "google_ads":
            self.headers["developer-token"] = os.environ["GOOGLE_ADS_DEVELOPER_TOKEN"]
            if "GOOGLE_ADS_LOGIN_CUSTOMER_ID" in os.environ:
                self.headers["login-customer-id"] = os.environ["GOOGLE_ADS_LOGIN_CUSTOMER_ID"]

    def __call__(self, request):
        """Raises OSError where the platform did not take it; the words are the platform's."""
        form = self.platform.NAME == "meta"
        body = urllib.parse.urlencode(request.body) if form else json.dumps(request.body)
        kind = "application/x-www-form-urlencoded" if form else "application/json"
        headers = self.headers | request.headers | {"Content-Type": kind}
        call = urllib.request.Request(self.host + request.path, body.encode(), headers, method=request.method)
        try:
            with urllib.request.urlopen(call, timeout=30) as answer:
                return answer.status
        except urllib.error.HTTPError as error:
            raise OSError(f"{request.path}: {error.code} {error.read(2000).decode(errors='replace')}") from error
