"""A gzip file of 600,000 empty members (12 MB) holds nobody up."""

import gzip

from tests.cases.scene import IN, end, hosts, publish, report, start, until

(IN / "many.json.gz").write_bytes(gzip.compress(b"") * 600_000)
publish("zz.json", report("victim"))
daemon = start()
done = until(lambda: hosts()["victim"] > 0, 60)
daemon.kill()
daemon.wait()
end(None if done else f"{(IN / 'many.json.gz').stat().st_size:,} bytes hold everything up for more than a minute")
