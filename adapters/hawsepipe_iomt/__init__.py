"""Devices that publish readings over MQTT: the feed kind `mqtt` and the translator kind `devices`."""
