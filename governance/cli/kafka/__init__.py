"""``govern ingest kafka://HOST:PORT/TOPIC``: OpenLineage events out of a Kafka topic, on the accept path of every other event.

The official clients' Kafka transports (Python, and Java for Spark and Flink) send one event a message: the value is the event as JSON in
UTF-8, the key a string that keeps a job's runs in one partition (``run:<namespace>/<name>``, ``job:…``, ``dataset:…``, or what the user
set), and no headers. Only the value is read: the fold does not depend on order, and everything that identifies an event is in it.

    address    where the topic is, and the client's settings, from a URL, the environment and a properties file
    messages   what the loop needs of a message log
    intake     the loop: take, deliver, then acknowledge
    offsets    how far each partition was read, delivered and committed
    consumer   the message log in Kafka; with faults, what its errors mean, the one place that imports confluent_kafka
    command    the loop with a terminal, signals and an exit code around it
"""
