"""The names of `twisted.web` and h2 that are in the table of `names`."""

from __future__ import annotations

from .needed import Needed, of

NEEDED_OF_WEB = (
    Needed(
        "bodies",
        ("twisted.web.client:readBody.getAbort",),
        "a readBody() that nothing could stop counts as stopped",
    ),
    Needed(
        "heads of responses",
        (
            "twisted.web.client:Agent._endpointFactory",
            "twisted.web._newclient:HTTP11ClientProtocol._parser",
            "twisted.web._newclient:HTTPParser.state",
        ),
        "the reverse proxy does not bound the headers of responses, and relays those that are "
        "named in their Connection header",
    ),
    Needed(
        "templates",
        ("twisted.web._flatten:_fork",),
        "a template that is stopped may log an error for each Deferred in it",
    ),
    Needed(
        "requests",
        ("twisted.web.http:Request.finished",),
        "the end of a response is noticed only if notifyFinish reports it",
        stand_in=0,
    ),
    Needed(
        "requests",
        ("twisted.web.http:Request.channel",),
        "the loss of a client is noticed only if notifyFinish reports it, and the limit on rapid "
        "resets (max_abandoned) is off",
        stand_in=object(),
    ),
    Needed(
        "requests",
        ("twisted.web.http:Request.startedWriting",),
        "a request that fails, or is cancelled while its client waits, gets no answer: its "
        "connection is aborted, as if part of a response had been sent",
        stand_in=1,
    ),
    Needed(
        "requests",
        ("twisted.web.http:Request.producer",),
        "a producer is not stopped with its request, and if a handler registers a producer and "
        "returns None, its response is finished at once",
        stand_in=None,
    ),
    Needed(
        "requests",
        ("twisted.web.http:Request.transport",),
        "a response that fails half-way is closed normally, not aborted. cancelweb does not notice "
        "connections taken over or not read, nor streams whose TLS was closed",
        stand_in=None,
    ),
    Needed(
        "writes",
        ("twisted.web.http:Request.sentLength",),
        "once a response has begun, timeout no longer cuts it. stall_timeout no longer cuts a "
        "producer's response, nor any response over HTTP/2",
        stand_in=float("nan"),  # differs from every value, itself included
    ),
    Needed(
        "pauses",
        (
            "twisted.web.http:HTTPChannel._waitingForTransport",
            "twisted.web._http2:H2Connection.remainingOutboundWindow",
        ),
        "stall_timeout does nothing, and time in which a slow client holds up a stream counts "
        "towards timeout",
    ),
    Needed(
        "listeners",
        ("twisted.web.http:Request.notifications",),
        "requests are slower. A deadline or a drain that cancels a request is reported to other "
        "notifyFinish listeners as a success. Listeners that were added before cancelweb's own may "
        "touch a lost request",
    ),
    Needed(
        "requests",
        ("twisted.web.http:Request.etag", "twisted.web.http:Request.lastModified"),
        "the answer to a cancelled request may have the ETag or Last-Modified of the page that it "
        "replaces",
    ),
    Needed(
        "requests",
        ("twisted.web.http:Request.code",),
        "access_log_499 logs the status that the handler has set, not 499",
    ),
    Needed(
        "requests",
        ("twisted.web.server:Request.site",),
        "if no clock is given, the global reactor measures time. access_log_499 fails",
        stand_in=None,
    ),
    Needed(
        "requests",
        ("twisted.web.server:Request._inFakeHead",),
        "a HEAD request to a resource without render_HEAD may log an error if its handler returns "
        "None or a stream",
    ),
    Needed(
        "encoders",
        ("twisted.web.server:Request._encoder",),
        "the answer to a cancelled request keeps a Content-Encoding that the handler has set by "
        "hand, although its body is not encoded so",
    ),
    Needed(
        "last answers",
        ("twisted.web.http:HTTPChannel.persistent",),
        "in a drain, clients are asked to close their connections, but the server closes none",
    ),
    Needed(
        "streams",
        ("twisted.web._http2:H2Stream._conn",),
        "over HTTP/2, the limit on rapid resets (max_abandoned) is off. A stream that is reset as "
        "soon as it is opened may cost the other streams their connection. A client may take an "
        "aborted response for a complete one",
    ),
    Needed(
        "streams",
        ("twisted.web._http2:H2Stream.streamID", "twisted.web._http2:H2Connection.conn"),
        "over HTTP/2, a stream that is reset as soon as it is opened may cost the other streams "
        "their connection. A client may take an aborted response for a complete one",
    ),
    Needed(
        "resets",
        of("twisted.web._http2:H2Connection.", "_requestDone", "_tryToWriteControlData"),
        "over HTTP/2, a client may take an aborted response for a complete one",
    ),
    Needed(
        "states of streams",
        ("h2.connection:H2Connection.streams", "h2.stream:H2Stream.closed"),
        "requests over HTTP/2 become slower with each stream of their connection",
    ),
    Needed(
        "goodbyes",
        of(
            "h2.connection:",
            *("ConnectionState.CLOSED", "H2Connection.state_machine"),
            "H2ConnectionStateMachine.state",
        ),
        "over HTTP/2, what is answered after one side has said goodbye is logged as an error",
    ),
    Needed(
        "unsent",
        (
            "twisted.web.http:_GenericHTTPChannelProtocol._channel",
            "twisted.web._http2:H2Connection.streams",
            "twisted.internet.tcp:Connection.protocol",
        ),
        "a drain does not wait for what is still to be sent over HTTP/2",
    ),
    Needed(
        "bounds",
        (
            "twisted.web.http:_GenericHTTPChannelProtocol._channel",
            "twisted.web._http2:H2Connection.conn",
        ),
        "cancelweb.connections.bound_http2 changes nothing",
    ),
    Needed(
        "header tables",
        ("h2.connection:H2Connection.encoder",),
        "a client can make its HTTP/2 connection remember any number of header fields",
    ),
    Needed(
        "HTTP/2 in memory",
        of("twisted.web._http2:", "H2Connection", "H2Connection.site", "H2Stream.streamID"),
        "Client.connect_http2 of cancelweb.testing raises ImportError",
    ),
)
