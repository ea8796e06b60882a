from twisted.logger import Logger
from twisted.web.resource import Resource

from cancelweb import Ended, cancel_on_disconnect, current_scope

log = Logger()


def report(scope):
    if scope.failure is not None:
        log.error("export failed: {why}", why=scope.failure.getErrorMessage())
    elif scope.ended is not Ended.COMPLETED:
        log.info("export {ended}: {why}", ended=scope.ended.name.lower(), why=scope.cause)


class Export(Resource):
    isLeaf = True

    def __init__(self, write_part):
        self._write_part = write_part

    @cancel_on_disconnect(on_exit=report)
    async def render_GET(self, request):
        scope = current_scope()
        for number in range(1_000):
            part = await self._write_part(number)
            remove = scope.on_exit(lambda _, part=part: part.unlink())
            yield part.read_bytes()
            scope.withdraw(remove)
            part.unlink()
