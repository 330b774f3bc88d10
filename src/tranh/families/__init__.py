"""One file is one system: networks, their loss, and how it makes pictures. No family knows another."""
