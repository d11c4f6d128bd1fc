"""An order desk: customers, products, orders and their attachments, served to desktop clients."""
