"""The demo: real loans dealt to five lenders, five nodes and a gateway, thousands of questions, and
an independent calculation that checks every answer."""
