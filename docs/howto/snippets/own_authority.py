from pathlib import Path

from twisted.internet import reactor
from twisted.internet.ssl import Certificate, trustRootFromCertificates
from twisted.web.client import Agent, BrowserLikePolicyForHTTPS

from cancelweb.proxy import ReverseProxyResource

authority = Certificate.loadPEM(Path("ca.pem").read_bytes())
policy = BrowserLikePolicyForHTTPS(trustRootFromCertificates([authority]))
agent = Agent(reactor, policy)
proxy = ReverseProxyResource("api.example", 443, b"", agent=agent, tls=True)
