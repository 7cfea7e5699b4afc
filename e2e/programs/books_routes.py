"""Tells the Envoy beside it what the HTTPRoutes say, as a mesh's control plane does: routes, timeouts, retries."""

import json
import os
import signal
import ssl
import time
import urllib.error
import urllib.request
from typing import Any

ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"
FOLDER = "/rds"
Object = dict[str, Any]


def read(name: str) -> str:
    with open(os.path.join(ACCOUNT, name)) as file:
        return file.read()


def routes() -> list[Object]:
    host, port = os.environ["KUBERNETES_SERVICE_HOST"], os.environ["KUBERNETES_SERVICE_PORT"]
    url = f"https://{host}:{port}/apis/gateway.networking.k8s.io/v1/namespaces/{read('namespace')}/httproutes"
    context = ssl.create_default_context(cafile=os.path.join(ACCOUNT, "ca.crt"))
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    request = urllib.request.Request(url, headers={"Authorization": "Bearer " + read("token")})
    with urllib.request.urlopen(request, timeout=10, context=context) as answer:
        found: list[Object] = json.load(answer)["items"]
    return found


def envoy_routes(items: list[Object]) -> list[Object]:
    found = []
    for item in items:
        annotations = item["metadata"].get("annotations") or {}
        for rule in item["spec"]["rules"]:
            action: Object = {"cluster": "books", "timeout": seconds(rule.get("timeouts", {}).get("request", "15s"))}
            if "retry.linkerd.io/http" in annotations:
                number = int(annotations.get("retry.linkerd.io/limit", "1"))
                action["retry_policy"] = {"retry_on": annotations["retry.linkerd.io/http"], "num_retries": number}
            for match in rule["matches"]:
                path = match["path"]
                key = {"Exact": "path", "PathPrefix": "prefix"}[path["type"]]
                found.append({"name": item["metadata"]["name"], "match": {key: path["value"]}, "route": action})
    return sorted(found, key=lambda route: "prefix" in route["match"])


def seconds(text: str) -> str:
    return f"{int(text[:-2]) / 1000}s" if text.endswith("ms") else text


def write(found: list[Object]) -> None:
    namespace = read("namespace")
    domains = ["books", f"books.{namespace}", f"books.{namespace}.svc.cluster.local"]
    config = {
        "@type": "type.googleapis.com/envoy.config.route.v3.RouteConfiguration",
        "name": "books",
        "virtual_hosts": [{"name": "books", "domains": domains, "routes": found}],
    }
    with open(os.path.join(FOLDER, "new"), "w") as file:
        json.dump({"resources": [config]}, file)
    os.rename(os.path.join(FOLDER, "new"), os.path.join(FOLDER, "rds.json"))


signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
last: list[Object] = []
while True:
    try:
        now = envoy_routes(routes())
    except (OSError, urllib.error.URLError) as error:
        print(f"no routes: {error}", flush=True)
    else:
        if now != last:
            write(now)
            last = now
    time.sleep(0.3)
