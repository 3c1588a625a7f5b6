import org.codelibs.opensearch.runner.OpenSearchRunner;

/** Runs one node below a directory, at a port of this machine, until standard input ends. */
public class Node {
    public static void main(String[] args) throws Exception {
        OpenSearchRunner runner = new OpenSearchRunner();
        runner.onBuild((number, settings) -> {
            settings.put("http.port", args[1]);
            settings.put("network.host", "127.0.0.1");
            settings.put("discovery.type", "single-node");
            settings.putList("discovery.seed_hosts", new String[0]);
            settings.putList("node.roles", "cluster_manager", "data", "ingest");
        });
        runner.build(OpenSearchRunner.newConfigs().basePath(args[0]).numOfNode(1).clusterName("tests").disableESLogger());
        runner.ensureYellow();
        System.out.println("ready");
        while (System.in.read() >= 0) {
        }
        runner.close();
    }
}
