"""The names of `twisted.web`, and of h2, that are in the table of `names`."""

from __future__ import annotations

from .needed import Needed, of

NEEDED_OF_WEB = (
    Needed(
        "bodies",
        ("twisted.web.client:readBody.getAbort",),
        "a readBody() that nothing could stop counts as stopped",
    ),
    Needed(
        "templates",
        ("twisted.web._flatten:_fork",),
        "a template that is stopped may log an error for each Deferred in it",
    ),
    Needed(
        "requests",
        ("twisted.web.http:Request.finished",),
        "the end of a response is seen only where notifyFinish tells of it",
        stand_in=0,
    ),
    Needed(
        "requests",
        ("twisted.web.http:Request.channel",),
        "the loss of a client is seen only where notifyFinish tells of it, and the limit on rapid "
        "resets (max_cleanups) is off",
        stand_in=object(),
    ),
    Needed(
        "requests",
        ("twisted.web.http:Request.startedWriting",),
        "where a request fails, or is cancelled while its client waits, the connection is aborted "
        "instead of an answer, as if a part of one had been sent",
        stand_in=1,
    ),
    Needed(
        "requests",
        ("twisted.web.http:Request.producer",),
        "a producer is not stopped with its request, and the response of a handler that registers "
        "one and returns None is finished at once",
        stand_in=None,
    ),
    Needed(
        "requests",
        ("twisted.web.http:Request.transport",),
        "a response that fails half-way is closed in order, not aborted; connections taken over or "
        "not read, and streams whose TLS was closed, are not recognised",
        stand_in=None,
    ),
    Needed(
        "writes",
        ("twisted.web.http:Request.sentLength",),
        "once a response has begun, timeout does not cut it any more, nor does stall_timeout that "
        "of a producer, or over HTTP/2",
        stand_in=float("nan"),  # differs from all that was seen, itself included
    ),
    Needed(
        "pauses",
        (
            "twisted.web.http:HTTPChannel._waitingForTransport",
            "twisted.web._http2:H2Connection.remainingOutboundWindow",
        ),
        "stall_timeout does nothing, and the time in which a slow client holds a stream up "
        "counts for timeout",
    ),
    Needed(
        "listeners",
        ("twisted.web.http:Request.notifications",),
        "other listeners to notifyFinish are told of a success where a deadline or a drain has "
        "cancelled their request, those added before cancelweb's own may touch a lost request, and "
        "requests are slower",
    ),
    Needed(
        "requests",
        ("twisted.web.http:Request.etag", "twisted.web.http:Request.lastModified"),
        "the answer to a request that was cancelled may have the ETag or Last-Modified of the page "
        "that it stands for",
    ),
    Needed(
        "requests",
        ("twisted.web.http:Request.code",),
        "access_log_499 logs the status that the handler has set, not 499",
    ),
    Needed(
        "requests",
        ("twisted.web.server:Request.site",),
        "where no clock is given, time is taken from the global reactor; access_log_499 fails",
        stand_in=None,
    ),
    Needed(
        "requests",
        ("twisted.web.server:Request._inFakeHead",),
        "a HEAD request to a resource without render_HEAD may log an error, if its handler returns "
        "None or a stream",
    ),
    Needed(
        "encoders",
        ("twisted.web.server:Request._encoder",),
        "the answer to a request that was cancelled keeps a Content-Encoding that the handler has "
        "set by hand, which its body does not have",
    ),
    Needed(
        "last answers",
        ("twisted.web.http:HTTPChannel.persistent",),
        "in a drain, clients are asked to close their connections, and the server does not",
    ),
    Needed(
        "streams",
        ("twisted.web._http2:H2Stream._conn",),
        "over HTTP/2, the limit on rapid resets (max_cleanups) is off, a stream that is reset as "
        "soon as it is opened may cost the others their connection, and a client may take a "
        "response that is broken off for a whole one",
    ),
    Needed(
        "streams",
        ("twisted.web._http2:H2Stream.streamID", "twisted.web._http2:H2Connection.conn"),
        "over HTTP/2, a client that resets a stream as soon as it has opened it may cost the "
        "others their connection, and one may take a response that is broken off for a whole one",
    ),
    Needed(
        "resets",
        of("twisted.web._http2:H2Connection.", "_requestDone", "_tryToWriteControlData"),
        "over HTTP/2, a client may take a response that is broken off for a whole one",
    ),
    Needed(
        "states of streams",
        ("h2.connection:H2Connection.streams", "h2.stream:H2Stream.closed"),
        "requests over HTTP/2 are slower, the more so the more streams there are",
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
        "HTTP/2 in memory",
        of("twisted.web._http2:", "H2Connection", "H2Connection.site", "H2Stream.streamID"),
        "Client.connect_http2 of cancelweb.testing raises ImportError",
    ),
)
