import io.openlineage.client.OpenLineage;
import io.openlineage.client.OpenLineageClient;
import io.openlineage.client.transports.ApiKeyTokenProvider;
import io.openlineage.client.transports.HttpConfig;
import io.openlineage.client.transports.HttpTransport;
import java.net.URI;
import java.time.ZonedDateTime;
import java.util.List;
import java.util.UUID;

/** What was run: {@code java -cp "lib/*" Send.java URL KEY} with openlineage-java 1.54.0 and its dependencies in lib/. */
public class Send {
  static void send(String url, String key, HttpConfig.Compression compression, String name) throws Exception {
    HttpConfig config = new HttpConfig();
    config.setUrl(URI.create(url));
    ApiKeyTokenProvider provider = new ApiKeyTokenProvider();
    provider.setApiKey(key);
    config.setAuth(provider);
    if (compression != null) config.setCompression(compression);
    OpenLineageClient client = OpenLineageClient.builder().transport(new HttpTransport(config)).build();
    OpenLineage ol = new OpenLineage(URI.create("https://example.org/java"));
    UUID run = UUID.randomUUID();
    for (OpenLineage.RunEvent.EventType type :
        List.of(OpenLineage.RunEvent.EventType.START, OpenLineage.RunEvent.EventType.COMPLETE)) {
      client.emit(
          ol.newRunEventBuilder()
              .eventType(type)
              .eventTime(ZonedDateTime.now())
              .run(ol.newRunBuilder().runId(run).build())
              .job(ol.newJobBuilder().namespace("java").name(name).build())
              .inputs(
                  List.of(
                      ol.newInputDatasetBuilder()
                          .namespace("s3://lake")
                          .name("in")
                          .facets(ol.newDatasetFacetsBuilder().version(ol.newDatasetVersionDatasetFacet("7")).build())
                          .build()))
              .outputs(List.of(ol.newOutputDatasetBuilder().namespace("s3://lake").name("out-" + name).build()))
              .build());
    }
  }

  public static void main(String[] words) throws Exception {
    send(words[0], words[1], null, "plain");
    send(words[0], words[1], HttpConfig.Compression.GZIP, "gzip");
    send(words[0] + "/", words[1], null, "slash");
    send(words[0] + "/api/v1/lineage", words[1], HttpConfig.Compression.GZIP, "full");
  }
}
