"""A single watched file that is not there when the daemon starts is read when it comes."""

from tests.cases.scene import IN, end, hosts, logged, publish, report, start, stop, until

daemon = start(watch=IN / "web01.json")
until(lambda: logged("root_missing"), 40)
publish("web01.json", report("h0"))
done = until(lambda: hosts()["h0"] > 0, 20)
stop(daemon)
end(None if done else "it was announced to be watched as soon as it appears, and 20 s later nothing came out")
